"""What clip art shows: several labels a picture."""
