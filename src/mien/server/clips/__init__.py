"""Clips: sent, analysed while the client asks how far it is, and shown as the page of `mien video --report`."""
