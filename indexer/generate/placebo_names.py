"""Placebo names: invented artists, drawn by seed from lists of given names and surnames, checked against real names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.name_likeness import fold, near_names, shortened, surnames_apart

_TRIES = 50


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = _words(
    """
    Adaeze Adina Aino Akosua Alasdair Alejo Alida Amadou Amaya Anahit Anders Aneta Anselm Anwen Aparna
    Arash Ariadna Arjun Arvid Asel Astrid Atsuko Aurelio Ayelet Ayodele Azamat Bahar Balazs Bastien
    Beatriu Bekele Benat Bettina Bhavna Birgit Bogdan Boubacar Branka Bronwen Callum Camila Carmela
    Catalin Cecylia Chiamaka Chidi Ciaran Clemence Corentin Cosmin Cristobal Dagmar Damian Danuta Daria
    Davit Delphine Dilnoza Dimitra Divya Dorottya Drita Ebba Edurne Efua Eilidh Ekaterine Elif Eluned
    Emeka Emre Endre Enora Erlend Esperanza Estela Etienne Eugenia Farhad Fatou Faustino Feodora Ferran
    Filippa Florin Folake Fumiko Gaetano Gareth Gavriil Genoveva Ghislain Gintare Giulia Goran Grainne
    Gudrun Guilherme Gulnara Gwilym Hadiza Hakon Halima Haruki Hedvig Heloise Hilde Hiroto Hoang Ifeoma
    Ignasi Ilinca Imani Indira Inigo Iolanda Irakli Isidora Itziar Ivana Jacinta Jadwiga Jarek Jelena
    Jerzy Jorunn Joao Jovan Juhani Kaito Kalina Kamala Karlo Katarzyna Kavita Keiko Kerstin Ketevan
    Khadija Kiran Kofi Konrad Kwabena Laima Lakshmi Lamine Leocadia Liesel Lindiwe Linh Liora Ljubica
    Lorcan Ludmila Lwazi Maarten Madalena Mairead Malika Manuela Marek Mariam Marisol Matteo Mbali Meera
    Mehmet Meltem Micaela Mihai Milica Minh Mircea Miyu Montserrat Morwenna Mykola Nadezhda Naledi Narges
    Natsumi Nazli Neha Niamh Nikolina Nilufar Njeri Nokuthula Oddvar Olamide Oksana Ondrej Orsolya Osman
    Paloma Parisa Pasquale Pavlina Pedro Perpetua Pia Pilar Piotr Pranav Quentin Radka Rafaela Raghav
    Ragnhild Rasa Renske Rhiannon Rocio Rohan Roksana Rosalba Rumyana Ruslan Sabela Sakura Samir Sanna
    Santiago Saoirse Sefa Selam Seppo Shanti Shirin Siobhan Sinazo Solveig Soraya Stanislava Stefania
    Sunniva Suresh Svetlana Taavi Tadeusz Taiwo Tamar Tanvi Tatiana Temesgen Thandiwe Thierry Tiago Tindra
    Tobias Tomoko Torvald Tove Tsering Tuan Ulrike Urszula Valdis Vasilis Veronika Vidya Vilma Violeta
    Vuyo Walid Wanjiru Wiebke Xavier Ximena Yaa Yannick Yasemin Yelena Yorick Yosef Yuki Yusuf Zainab
    Zeynep Zdenka Zofia Zoltan Zuzana
    """
)
SURNAMES = _words(
    """
    Aagaard Abascal Abenov Abubakar Achterberg Adeyemi Adomaitis Aguirre Ahlgren Akinola Aksoy Alarcon
    Albescu Alieva Almqvist Ambrosi Andersson Angelov Antonescu Appiah Aramburu Arnaldo Arriaga
    Asante Askarov Atanasov Augustin Avellaneda Ayala Azevedo Babic Bacher Badea Bagheri Bakker Balogun
    Banerjee Baptista Baranowski Barreto Batista Bauwens Bayram Bednarek Beltran Benavides Bengtsson
    Berisha Bertolini Bhandari Bielawski Bjerke Blazek Boateng Bodnar Bogdanov Bonavita Bosnjak Botello
    Boukhari Brankovic Brennecke Brodsky Bulgak Burgstaller Campos Canizares Cardoso Carvalho Castellano
    Cavalli Cerny Chakrabarti Chaudhary Chavarria Chernenko Chikere Chlebowski Christensen Ciobanu
    Cisneros Claessens Colombari Conti Corcoran Cordeiro Cornelissen Costache Couto Crnkovic Cseh
    Cvetkovic Dabrowski Dahlin Dalgaard Danielyan Dasgupta Deblauwe Delacroze Demir Desai Devereux Diallo
    Diaconu Dimitrov Dlamini Dobrev Domingues Dondup Dragomir Drummond Dubrovin Duplessis Durmaz Ebersbach
    Echeverria Edgren Egorov Ekström Elizalde Ellingsen Engstrand Eriksen Espinosa Etxeberria Evangelista
    Ezenwa Fabbri Fagerholm Falkenrath Farkas Fazekas Fedorov Ferreira Figueroa Filipek Fitzgerald
    Florescu Fonseca Forsberg Fragoso Friedmann Fujimori Fukuda Gagnon Galarza Galvao Gasparyan Gavrilov
    Gebremariam Georgescu Ghazali Gilmartin Gjerde Golubev Gorecki Graziani Grgic Gronholm Grzelak
    Guerreiro Gulbrandsen Gunawardena Gyasi Haavisto Hadzic Hagiwara Hakobyan Halvorsen Hamalainen
    Haraldsen Hashimoto Heikkinen Hennings Heredia Hjelmeland Hlavacek Hoekstra Holmqvist Horvat Hovland
    Hrubesch Ibanez Ignatov Ilunga Imamura Ingebrigtsen Iordache Irigoyen Isaksson Ishikawa Ivanovska
    Iwasaki Jablonski Jagannathan Jakobsen Janowicz Jaramillo Jelinek Joensuu Jovanovski Juhasz Kaczmarek
    Kallio Karapetyan Kasprzak Katona Kavanagh Kebede Kerimov Khoury Kiplagat Kjellberg Kolarov
    Konate Kovacevic Kowalczyk Krasniqi Kristoffersen Kruizinga Kubiak Kulkarni Kurosaki Kuznetsov
    Kvaratskhelia Laaksonen Lacroix Lamprecht Landsberg Larranaga Laskaris Lazarev Lebedev Lehtonen
    Lewandowski Lindqvist Ljungberg Lombardo Lopatin Loureiro Lundgaard Lysenko Maciejewski Madsen Makinen
    Malinowska Mamedov Manolov Marchetti Markovic Martinsen Masuku Mazurek Mehrotra Mendonca Mensah Merino
    Michalak Mikkelsen Mitrovic Mlynar Mokoena Monteiro Moravec Moriarty Mukherjee Mutombo Nagornov
    Nakagawa Narayan Navarrete Ndiaye Nemeth Nascimento Niedermayer Nieminen Nikolov Njoroge Nordahl
    Novotny Nurmi Nwosu Obradovic Ocampo Odhiambo Oduya Ogunleye Okafor Olafsen Oliveira Onwudiwe Orellana
    Ortega Osei Ostrowski Otsuka Owusu Ozturk Pacheco Palmgren Panagos Papazian Paredes Parvanov Pasternik
    Pavlenko Pedersen Pellegrino Perreault Petrosyan Piekarski Pinheiro Pirzada Podolski Popescu Pospisil
    Pradhan Prokop Przybylski Quaranta Quesada Quiroga Radulescu Rajapaksa Ramaswamy Rasmussen Ravnsborg
    Rebelo Reinholt Restrepo Ribeiro Riskin Rocha Rozman Rustamov Ruzicka Saarinen Sadowski Sahin
    Salamanca Salgueiro Sandoval Santangelo Sarkisov Satrapa Savchenko Schellenberg Schoonhoven Sedlacek
    Semenova Sepulveda Shevchuk Shimizu Sigurdsen Silveira Simonsen Sissoko Smolenski Soderberg Sokolova
    Somogyi Sorensen Sotomayor Souza Stankovic Stoyanov Strandberg Suleymanov Svensson Szabo Szymanski
    Tadesse Talavera Tamboura Tanaka Tavares Tekin Terzic Thorsen Tikhonov Todorova Toivonen Torrealba
    Traore Trifonov Tsukada Turunen Ueda Ulvestad Urrutia Uzunov Valdivia Vandenberghe Varga Vasquez
    Velarde Venkatesan Verhoeven Vestergaard Vidovic Villanueva Virtanen Vlasenko Vukovic Wanjala
    Wasilewski Wehrmann Wickramasinghe Winterberg Wojcik Xhaferi Yadav Yamashita Yankov Yildirim Yoshimura
    Zabala Zaleski Zamorano Zdravkov Zielinski Zubkov Zuberi Zwolinski
    """
)
FAMOUS = _words(
    """
    Abramovic Adams Albers Allston Altdorfer Amano Amaral Anatsui Angelico Anguissola Appel Araki
    Arcimboldo Arp Artgerm Auerbach Avercamp Bacon Balla Balthus Banksy Barlach Barnes Basquiat Bazille
    Beardsley Beckmann Beksinski Bellini Bellows Benton Bernini Beuys Bierstadt Bilibin Bisley Blake
    Boccioni Bocklin Boecklin Bonheur Bonnard Borremans Bosch Botero Botticelli Boucher Boudin Bouguereau
    Bourgeois Bracquemond Braque Breitner Breughel Bronzino Bruegel Brueghel Burne-Jones Cabrera
    Caillebotte Calder Canaletto Caniff Caravaggio Carneiro Carpaccio Carr Carracci Carrington Cassatt
    Cattelan Cezanne Chagall Chardin Chihuly Chirico Christo Church Cimabue Close Cole Collier Constable
    Corinth Cornell Corot Correggio Courbet Cranach Crumb Dali Daumier David Davis Degas Delacroix
    Delaunay Delvaux Demuth Derain Diebenkorn Dine Dix Doig Donatello Dore Dove Dubuffet Duccio Duchamp
    Dufy Dumas Durer Dyck Eakins Eliasson Emin Ensor Enwonwu Ernst Escher Eyck Fairey Fantin-Latour
    Feininger Finch Fragonard Frank Frankenthaler Frazetta Freud Friedrich Fuseli Gainsborough Gauguin
    Gentileschi Gericault Gerome Ghenie Ghirlandaio Giacometti Giger Giordano Giorgione Giotto Gogh
    Goncharova Gorky Gormley Goya Greco Greuze Gris Grosz Grunewald Guardi Guston Haacke Hals Hammershoi
    Haring Hartley Hassam Hausmann Hearn Heckel Hepworth Hilliard Hiroshige Hirst Hobbema Hockney Hodgkin
    Hodler Hogarth Hokusai Holbein Holzer Homer Hooch Hopper Hundertwasser Hunt Ingres Inness Invader Ito
    Itten Jawlensky Johns Jordaens Judd Junji Kahlo Kandinsky Kantor Kapoor Kauffman Kawara Kelly Kent
    Kentridge Kiefer Kinkade Kirby Kirchner Kishimoto Kitaj Klarwein Klee Klein Klimt Kline Kobayashi
    Kokoschka Kollwitz Kooning Koons Krasner Kruger Kupka Kusama Lam Landseer Larionov Larsson Lawrence
    LeWitt Leger Leighton Lempicka Leonardo Leutze Levitan Leyster Lichtenstein Liebermann Limbourg Lippi
    Lissitzky Lorrain Lowry Luini Macke Magritte Malevich Manet Mantegna Mapplethorpe Marc Marin Marshall
    Martin Martini Masaccio Matisse Matsuda Matta Mehretu Memling Messina Michelangelo Mignola Millais
    Millet Miro Mitchell Miyazaki Modersohn-Becker Modigliani Moebius Moholy-Nagy Mondrian Monet Moore
    Moran Morandi Moreau Morisot Moser Moses Motherwell Mucha Muholi Mullins Munch Munter Murakami Murillo
    Nara Nash Nauman Neel Nevelson Newman Nihei Noguchi Nolan Nolde O'Keeffe Oda Oehlen Oldenburg Opie
    Orozco Otomo Palmer Parmigianino Parrish Patinir Pechstein Perugino Picabia Picasso Piero Piranesi
    Pissarro Pollock Pontormo Popova Poussin Quarton Rackham Raeburn Raphael Rauschenberg Ray Redon Rego
    Reinhardt Rembrandt Remington Reni Renoir Repin Reynolds Ribera Richter Riley Rist Rivera Rockwell
    Rodchenko Rodin Roerich Romney Rops Rosselli Rossetti Rothko Rouault Rousseau Rubens Ruisdael Runge
    Ruscha Rutkowski Ryder Saenredam Sargent Saville Savrasov Schiele Schmidt-Rottluff Schnabel Schwitters
    Serrano Seurat Severini Shahn Sherman Shinkai Shishkin Sickert Signac Siqueiros Sironi Sisley Siudmak
    Soulages Soutine Spiegelman Spilliaert Steen Steinbach Steinlen Stella Still Stubbs Sugimoto
    Sutherland Szyszlo Takahashi Takeuchi Tamayo Tanguy Tanning Tapies Tarsila Tezuka Thiebaud Tiepolo
    Tintoretto Tissot Titian Toorop Toriyama Toulouse-Lautrec Turner Tuymans Twombly Uccello Utamaro
    Utrillo Valadon Vallejo Vallotton Vargas Vasarely Vasari Vasnetsov Velazquez Vereshchagin Vermeer
    Veronese Verrocchio Vigee-LeBrun Viola Vlaminck Vrubel Vuillard Walker Ware Warhol Waterhouse Watteau
    Weiwei Westermann Weyden Whistler Wiley Wood Wright Wyeth Yayoi Yoshida Yoshitoshi Zhang Zorn Zurbaran
    """
)
"""Surnames of artists that an image model is likely to know; placebo names never use them."""


def placebo_names(n: int, *, seed: int | str = 0, avoid: Sequence[str] = ()) -> list[str]:
    """Invent names of artists, whatever the artists' names are like.

    This is the first version of the drawing; `imindex.indexer.generate.matched_names` has the present one.

    Given name and surname are drawn independently from many languages, so that the full name belongs to no real person.
    One name in seven has three parts.

    Parameters
    ----------
    n : int
        Number of names.
    seed : int or str
        Another seed gives other names. A shorter list is a prefix of a longer one.
    avoid : sequence of str
        Real names. No invented surname equals a part of one of these or, from six letters on, differs from it by one
        letter; no invented name is within two letters of a full one. Case and accents are ignored.

    Returns
    -------
    list of str
        Names that are distinct even when case and accents are ignored.

    Raises
    ------
    ImindexError
        If the names to avoid leave fewer than `n` names.
    """
    surnames = surnames_apart(SURNAMES, (*avoid, *FAMOUS))
    near = near_names(avoid)
    names: dict[str, str] = {}
    for name in _drawn(seed, surnames, _TRIES * (n + 20)):
        if len(names) >= n:
            break
        folded = fold(name)
        if folded not in names and near.isdisjoint(shortened(folded)):
            names[folded] = name
    if len(names) < n:
        raise ImindexError(
            f"Only {len(names):,} of {n:,} placebo names can be invented with {len(avoid):,} names to avoid. "
            "Request fewer, or pass your own with --placebo-names."
        )
    return list(names.values())


def _drawn(seed: int | str, surnames: Sequence[str], tries: int) -> Iterator[str]:
    if not surnames:
        return
    for i in range(tries):
        # From a digest rather than `random`, whose choices may differ between versions of Python.
        digest = hashlib.sha256(f"placebo {seed} {i}".encode()).digest()
        first, second, third, form = (int.from_bytes(digest[8 * k : 8 * k + 8], "big") for k in range(4))
        parts = [GIVEN[first % len(GIVEN)], surnames[second % len(surnames)]]
        if form % 14 == 0:
            parts.insert(1, GIVEN[third % len(GIVEN)])
        elif form % 14 == 1:
            parts.append(surnames[third % len(surnames)])
        if len(set(parts)) == len(parts):
            yield " ".join(parts)
