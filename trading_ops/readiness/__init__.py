"""The gate from paper to live trading: plan, evaluation, checks and the signed report."""
