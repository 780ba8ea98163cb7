"""Pulling an export, or a part of one."""
