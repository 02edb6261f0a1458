"""Studies: what the blueprints do for a site, decided by their own templates."""
