"""The command line. Each command's module is imported only when the command is used.

What belongs here: options, tables, sentences, exit codes. What must not: doing the work.
"""
