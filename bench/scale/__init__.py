"""What galleries beyond one machine take: arithmetic and a simulation, from measured figures."""
