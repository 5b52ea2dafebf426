"""Every public function is fed bad values: a walk over names, tables of valid calls, one catalogue of bad values."""
