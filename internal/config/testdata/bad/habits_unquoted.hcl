router {
  asn = 64500
  id  = "192.0.2.1"
}

neighbor "a" {
  address = 192.0.2.9
}
