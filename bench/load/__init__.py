"""A server under load: arrivals, clients in processes of their own, what the server says of itself, and scenarios."""
