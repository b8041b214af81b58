"""`mien serve`: an HTTP API and a page. The only part that imports a web framework; nothing of it is imported early."""
