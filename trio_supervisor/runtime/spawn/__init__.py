"""Making children: commands, specifications, descriptors, tasks, and reaping."""
