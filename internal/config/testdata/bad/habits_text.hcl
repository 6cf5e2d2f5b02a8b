router {
  asn = 64500
  id  = "192.0.2.1"
}

neighbor "a" {
  description = a neighbor
}
