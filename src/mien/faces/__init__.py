"""Face detection, alignment, face quality and anonymisation."""
