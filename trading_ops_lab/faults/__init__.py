"""The faults that drills inject, each with evidence independent of the remediation."""
