from gateway.rtp.sequence import Probation, SequenceNumbers


def counted(*sequences: int) -> SequenceNumbers:
    numbers = SequenceNumbers(sequences[0])
    for sequence in sequences:
        extended = numbers.extend(sequence)
        assert extended is not None
        numbers.receive(extended)
    return numbers


def test_the_extended_number_goes_on_over_the_wrap():
    numbers = counted(65_534, 65_535, 0, 1)
    assert (numbers.highest, numbers.expected, numbers.lost) == (65_537, 4, 0)


def test_a_packet_from_before_the_wrap_is_reordered_and_not_lost():
    numbers = counted(65_534, 0, 65_535)
    assert (numbers.highest, numbers.lost) == (65_536, 0)


def test_it_wraps_more_than_once():
    numbers = SequenceNumbers(0)
    for n in range(200_000):
        assert numbers.extend(n % 65_536) == n
        numbers.receive(n)
    assert numbers.highest == 199_999


def test_a_jump_of_three_thousand_or_a_hundred_back_is_no_loss():
    numbers = counted(5_000)
    assert numbers.extend(7_999) == 7_999
    assert numbers.extend(8_000) is None
    assert numbers.extend(4_901) == 4_901
    assert numbers.extend(4_900) is None


def test_a_doubled_packet_makes_the_loss_smaller_as_the_rfc_wants_it():
    assert counted(1, 3, 3).lost == 0
    assert counted(1, 2, 2).lost == -1


def test_the_fraction_lost_is_of_the_interval_alone():
    numbers = counted(1, 2, 3, 5)
    assert numbers.take_fraction_lost() == 256 // 5
    numbers.advance(10)
    assert numbers.take_fraction_lost() == 0
    assert numbers.take_fraction_lost() == 0
    assert numbers.lost == 1


def test_everything_lost_is_reported_as_255():
    numbers = counted(1)
    numbers.take_fraction_lost()
    numbers.highest += 1_000  # what a sender's own report would tell
    assert numbers.take_fraction_lost() == 255


def test_two_packets_in_sequence_prove_a_source_and_none_is_lost():
    probation = Probation()
    assert probation.receive(1, (65_535, 0, b"first"), 0) is None
    assert probation.receive(1, (0, 160, b"second"), 0) == (65_535, 0, b"first")


def test_a_source_is_not_proven_by_another_nor_out_of_sequence():
    probation = Probation()
    assert probation.receive(1, (5, 0, b""), 0) is None
    assert probation.receive(2, (6, 0, b""), 0) is None
    assert probation.receive(2, (8, 0, b""), 0) is None
    assert probation.receive(2, (9, 0, b""), 0) == (8, 0, b"")


def test_a_source_is_not_proven_while_the_believed_one_goes_on():
    probation = Probation()
    for n in range(10):
        assert probation.receive(1, (n, 0, b""), progress=n) is None
