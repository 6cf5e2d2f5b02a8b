package api

// ReadOnly is the classification of procedures, for tests.
var ReadOnly = readOnly
