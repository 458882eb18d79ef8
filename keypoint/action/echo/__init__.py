"""The generated set that shows what each block can represent."""
