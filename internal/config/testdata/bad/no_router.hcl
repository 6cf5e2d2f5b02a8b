neighbor "a" {
  address = "192.0.2.9"
  asn     = 64501
}
