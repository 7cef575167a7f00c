"""What the shipped jobs do, one file each."""
