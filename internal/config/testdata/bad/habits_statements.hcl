router bgp 64500
  neighbor 192.0.2.9 remote-as 64501
