"""Laws that every format keeps, tried on each that is registered.

A room registers its formats in a file of its own beside its tests, named `laws_<something>.py`, with a list `DECODES`,
and its pairs of Sealer and Opener in a list `FRAMINGS`:

    DECODES = [
        Law("socks5-address", decode_address, [(b"\\x01\\x7f\\0\\0\\1\\0P", Address.parse("127.0.0.1:80"))],
            encode=encode_address, values=addresses(), wrong=[b"\\x09"], limit=MAX_ADDRESS),
    ]
    FRAMINGS = [
        Framing("shadowsocks-aes-128-gcm", make_pair, limit=16 + 2 + 16 + 0x3FFF + 16),
    ]
"""
