"""The services: one file each, `async def run(frame)`. Services never import services."""
