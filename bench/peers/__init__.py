"""The article's two pages, with CORS for any origin, in other frameworks as their documentation would have them."""

HEALTHY = '"Healthy"'
NO_CACHE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
PAGE = "<h1>HELLO WORLD</h1>"
