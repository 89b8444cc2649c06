"""LD and ST: bursts on AXI4, and what becomes of the beats.

Masters know bursts and answers, engines know instructions.
"""
