"""What every page looks like around its content."""
