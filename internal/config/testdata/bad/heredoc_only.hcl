router {
  asn = 64500
  id  = <<ID
192.0.2.1
ID
}
