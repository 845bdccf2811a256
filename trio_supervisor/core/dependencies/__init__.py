"""Which processes need which others: the graph, and the decisions that follow from it."""
