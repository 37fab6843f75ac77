"""The half of the year from the shape of a day's temperature: a series seen as a picture."""
