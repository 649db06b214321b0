"""The merchants' interface as an OpenAPI 3.1 document and as a page, made from what the code declares."""
