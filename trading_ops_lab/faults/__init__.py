"""The faults that drills inject, each with a witness independent of the remediation."""
