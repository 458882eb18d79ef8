"""The generated set "echo", which shows what each block can represent."""
