"""What kind of file it is from its bytes, seen as a grey picture."""
