const none = () => { throw new Error("there is no libsignal here"); };
exports.generateKeyPair = exports.calculateAgreement = exports.calculateSignature = exports.verifySignature = none;
