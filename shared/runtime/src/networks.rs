//! Which addresses outbound HTTP may connect to: the public internet, and what the deployment allows by name.
//!
//! The lists hold everything in IANA's special-purpose registries for [IPv4] and [IPv6] that is not globally reachable.
//! Of IPv6 only global unicast (2000::/3) is public; every form that carries an IPv4 address inside (mapped,
//! compatible, NAT64, 6to4, Teredo) lies outside of it or is listed.
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry/
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry/

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Not public: this host, private, carrier-grade NAT, loopback, link-local (metadata services among it), protocol
/// assignments, documentation, 6to4 relays, benchmarking, multicast, reserved and broadcast.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
];

/// Global unicast.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// Within global unicast, yet not public: protocol assignments (Teredo, ORCHID, benchmarking), documentation, 6to4.
const NOT_PUBLIC_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

/// The networks that may be connected to.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    allowed: Vec<IpNet>,
}

impl Networks {
    /// The public internet and these networks.
    #[must_use]
    pub fn allowing(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be connected to.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        is_public(address) || self.is_named(address)
    }

    /// Whether an address is in one of the networks that were named.
    #[must_use]
    pub fn is_named(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permits(address: &str) -> bool {
        Networks::default().permit(address.parse().expect("an address"))
    }

    #[test]
    fn public_addresses_are_permitted() {
        for address in ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(permits(address), "{address}");
        }
    }

    #[test]
    fn every_other_kind_of_address_is_refused() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.0.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "3fff::1",
        ] {
            assert!(!permits(address), "{address}");
        }
    }

    #[test]
    fn a_named_network_is_permitted_and_nothing_beside_it() {
        let networks = Networks::allowing(vec!["127.0.0.1/32".parse().expect("a network")]);
        assert!(networks.permit(IpAddr::from([127, 0, 0, 1])));
        assert!(!networks.permit(IpAddr::from([127, 0, 0, 2])));
        assert!(!networks.permit("::ffff:127.0.0.1".parse().expect("an address")));
    }

    proptest! {
        #[test]
        fn no_ipv6_form_smuggles_an_ipv4_address(v4: u32) {
            let inner = Ipv4Addr::from(v4);
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for outer in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                prop_assert!(!Networks::default().permit(outer.into()), "{outer}");
            }
        }
    }
}
