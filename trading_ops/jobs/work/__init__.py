"""The shipped jobs, one file each."""
