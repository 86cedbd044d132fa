"""A revision that says something else each time is refused once it can't be replayed, and settled by a person."""
