"""Text to token ids and back, in a process of its own with bounded time and memory.

A tokenizer and a chat template are programs that come with a model. Both can ask for any time and
memory, and the library that runs tokenizers, written in Rust, can end the process it runs in. So
they run in a child process (`server`), which its parent (`process`) starts, bounds and replaces.
"""
