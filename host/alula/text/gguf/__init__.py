"""llama.cpp's tokenizers: what a GGUF file's vocabulary makes of a text, token for token."""
