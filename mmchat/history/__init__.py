"""Conversations that outlive the program: `store` keeps them, `export` writes them as files for people and training."""
