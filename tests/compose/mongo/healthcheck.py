"""Ends with 0 when the server answers `hello`."""

import pymongo

client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
    "127.0.0.1", serverSelectionTimeoutMS=3000, directConnection=True
)
client.admin.command("hello")
