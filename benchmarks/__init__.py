"""The measured promises: each module measures one of them, `run.py` all."""
