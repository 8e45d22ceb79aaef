"""Programs that keep the project in order; users need none of them."""
