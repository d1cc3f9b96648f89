"""Files of other tools, read as measurements that budgets apply to."""
