"""Print a report: for a terminal, a machine, a pull request, a code scanning page."""
