"""The command line. A command's module is imported only when the command is used.

It contains options, tables, messages and exit codes; the work is done in other packages.
"""
