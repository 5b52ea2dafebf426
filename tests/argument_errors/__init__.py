"""Every public function is called with invalid values, from tables of valid calls and one catalogue of values."""
