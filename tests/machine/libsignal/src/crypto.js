const none = () => { throw new Error("there is no libsignal here"); };
exports.deriveSecrets = exports.decrypt = exports.encrypt = exports.calculateMAC = none;
