router {
  asn     = 64500
  id      = "192.0.2.1"
  kernel  = false
  on_stop = "flush"
}

neighbor "a" {
  address = "192.0.2.900"
}
