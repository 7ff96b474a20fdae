"""The operator's process: what triggers a reconcile, when it runs, and who may write."""
