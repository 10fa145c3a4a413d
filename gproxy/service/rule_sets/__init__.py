"""Rule sets from files and from elsewhere, in the process that looks after them: read, kept, watched, downloaded.

store       files: rule sets made ready, by what they were made from, and what was downloaded
source      where a set comes from, and what stands there now
download    one request for a newer version, bounded in time and space
keeper      who looks for newer ones, when, and whom they are told to
"""
