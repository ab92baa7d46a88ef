"""What the integration tests stand on: a mired of one's own, clients, and real mail servers beside it."""
