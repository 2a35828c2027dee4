"""Privacy: accounting, private training and audits."""
