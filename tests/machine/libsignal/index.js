// What openclaw's WhatsApp library names when it is loaded.
for (const name of ["ProtocolAddress", "SessionBuilder", "SessionCipher", "SessionRecord"]) exports[name] = class {};
