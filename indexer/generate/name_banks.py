"""Given names and surnames by origin, from which placebo names that match an artist are drawn.

An origin is a language, or a region whose names follow the same pattern. Given names are listed by the form that they
have in that origin: used for women, used for men, or used for both.

The lists are part of what an audit is reproduced from: a word that is added, removed or moved changes the names that a
seed gives. Change them only together with a new version in `imindex.indexer.generate.matched_names.DRAWING`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bank:
    """The names of one origin.

    Attributes
    ----------
    feminine, masculine, either : tuple of str
        Given names by form.
    surnames : tuple of str
    """

    feminine: tuple[str, ...]
    masculine: tuple[str, ...]
    either: tuple[str, ...]
    surnames: tuple[str, ...]

    @property
    def given(self) -> tuple[str, ...]:
        """All given names."""
        return self.feminine + self.masculine + self.either


def _bank(feminine: str, masculine: str, surnames: str, either: str = "") -> Bank:
    return Bank(
        tuple(feminine.split()), tuple(masculine.split()), tuple(either.split()), tuple(surnames.split())
    )


BANKS: dict[str, Bank] = {
    "english": _bank(
        """
        Anwen Bronwen Eilidh Eluned Grainne Mairead Morwenna Niamh Rhiannon Saoirse Siobhan
        Beatrix Cordelia Daphne Edith Gwendolen Harriet Imogen Lavinia Millicent Philippa Rosalind Winifred
        """,
        """
        Alasdair Callum Ciaran Gareth Gwilym Lorcan Yorick
        Ambrose Barnaby Clement Desmond Edmund Fergus Godfrey Hector Lionel Mortimer Rupert Silas
        """,
        """
        Corcoran Devereux Drummond Fitzgerald Gilmartin Kavanagh Moriarty
        Ackerley Applegarth Ashworth Birtwistle Blenkinsop Brathwaite Calloway Cattermole Chadderton Colquhoun
        Culpepper Dalrymple Entwistle Fairclough Featherstone Garside Gathercole Hebblethwaite Heseltine
        Hollingworth Inglethorpe Jessop Kilbride Lonsdale Loxley Macalister Mapplebeck Micklethwaite
        Oglethorpe Osbaldeston Pennington Pickersgill Postlethwaite Ravenscroft Rowbotham Satterthwaite
        Shufflebottom Stapleton Tattersall Thistlewood Threlfall Tregaskis Trevelyan Wadsworth Whittingham
        Wigglesworth Winterbottom Yelverton
        """,
    ),
    "french": _bank(
        """
        Clemence Delphine Enora Heloise Amelie Apolline Capucine Celestine Colette Eloise Eugenie Florence
        Ghislaine Honorine Josephine Mathilde Mireille Noemie Odette Solange Sylvie Victorine
        """,
        """
        Bastien Corentin Etienne Ghislain Quentin Thierry Xavier Yannick Achille Anatole Baptiste Blaise
        Cyprien Fabrice Gaspard Lambert Leopold Marcellin Octave Prosper Raoul Remi Theophile
        """,
        """
        Augustin Delacroze Duplessis Gagnon Lacroix Perreault
        Archambault Aubertin Barbeau Beauchemin Bellerose Bergevin Boisvert Bonnefoy Brisebois Chabrol
        Charpentier Chauvin Clavel Courtemanche Desjardins Deslauriers Desrosiers Dubreuil Dufresne Dumoulin
        Duvernay Escoffier Ferrand Fontanel Gauvreau Giraudeau Grandmaison Guillemet Hautecoeur Jolivet
        Lachapelle Lafontaine Lamoureux Larochelle Latourelle Laverdure Lemaitre Malherbe Marchand Montreuil
        Pelletier Poirier Rochefort Sauvageau Thibodeau Tremblay Vaillancourt Villeneuve
        """,
    ),
    "german": _bank(
        """
        Bettina Birgit Dagmar Hilde Liesel Ulrike Wiebke Adelheid Annegret Brunhilde Christa Elfriede Gerlinde
        Gudula Heike Irmgard Kunigunde Lieselotte Mechthild Rosemarie Sieglinde Waltraud
        """,
        """
        Anselm Konrad Tobias Damian Albrecht Balthasar Dietmar Eberhard Ekkehard Friedhelm Gerhard Gottlieb
        Hartmut Hubertus Joachim Leonhard Ludwig Manfred Reinhold Siegfried Ulrich Volkmar Wendelin
        """,
        """
        Bacher Brennecke Burgstaller Ebersbach Falkenrath Friedmann Hennings Hrubesch Lamprecht Landsberg
        Niedermayer Reinholt Schellenberg Wehrmann Winterberg
        Achenbeck Altmeier Bierbaum Blumenthal Brandstetter Brinkmann Dachauer Dornbusch Eichhorn Engelbrecht
        Fassbender Feldhaus Gansmann Giesebrecht Grillmayer Haberkorn Hagedorn Himmelreich Holtzmann
        Katzenberger Kesselring Klostermann Kronenberg Lautenbach Lindenbaum Morgenroth Neuenfeld Obermoser
        Pfannenstiel Quandtmeier Rosskopf Schnittker Steinhauer Strohmayer Tiefenbach Uhlmann Wachsmann
        Weidenfeller Wolkenstein Zumbusch
        """,
    ),
    "dutch": _bank(
        """
        Renske Alida Anneke Aafke Betje Dieuwertje Femke Geertruida Hendrikje Janneke Jikke Klaasje Lieke
        Marijke Mieke Nienke Saskia Tineke Trijntje Willemijn
        """,
        """
        Maarten Adriaan Bartholomeus Cornelis Diederik Evert Floris Gijsbert Huibrecht Jurriaan Koenraad
        Lambrecht Marinus Niek Olivier Pieterjan Reinier Sjoerd Teunis Wouter Wolfert
        """,
        """
        Achterberg Bakker Bauwens Claessens Cornelissen Deblauwe Hoekstra Kruizinga Schoonhoven Vandenberghe
        Verhoeven
        Aardewijn Baetens Boersema Brouwershaven Coppejans Dekeyser Demeulemeester Dijkgraaf Eijkelboom Feenstra
        Geldermans Goossens Haverkamp Heemskerke Hoogland Huysentruyt Jongsma Kloosterman Kuipers Lammertink
        Leeuwenburg Meersman Meulenbelt Nieuwenhuis Oosterhof Peeters Pieterszoon Roelofsma Schepens
        Schuurmans Slingerland Spoorenberg Terpstra Uyttendaele Vanderlinden Veldhuizen Vermeulen Wagenaar
        Westerhuis Wijnants Zandstra Zuiderveld
        """,
    ),
    "nordic": _bank(
        """
        Astrid Ebba Filippa Gudrun Hedvig Jorunn Kerstin Ragnhild Solveig Sunniva Tindra Tove Agneta Annfrid
        Bergljot Birgitta Dagny Elsebeth Gunhild Ingeborg Karin Sigrun Thyra Ylva
        """,
        """
        Anders Arvid Erlend Hakon Oddvar Torvald Asbjorn Bertil Birger Eskil Folke Gunnar Halvard Ingvar Joakim
        Kjetil Leif Magnar Njal Orjan Roald Sigvard Tormod Vidkun
        """,
        """
        Aagaard Ahlgren Almqvist Andersson Bengtsson Bjerke Christensen Dahlin Dalgaard Edgren Ekström
        Ellingsen Engstrand Eriksen Fagerholm Forsberg Gjerde Gronholm Gulbrandsen Halvorsen Haraldsen
        Hjelmeland Holmqvist Hovland Ingebrigtsen Isaksson Jakobsen Kjellberg Kristoffersen Lindqvist
        Ljungberg Lundgaard Madsen Martinsen Mikkelsen Nordahl Olafsen Palmgren Pedersen Rasmussen Ravnsborg
        Sigurdsen Simonsen Soderberg Sorensen Strandberg Svensson Thorsen Ulvestad Vestergaard
        """,
    ),
    "finnish or baltic": _bank(
        """
        Aino Gintare Laima Rasa Sanna Vilma Aada Eevi Egle Helmi Ieva Inkeri Kaisa Liisi Maarit Merike Rasma
        Riitta Sirje Tuulikki Vaike Zenta
        """,
        """
        Juhani Seppo Taavi Valdis Aarne Algirdas Eerik Gediminas Heikki Ilmari Jaakko Kalervo Kestutis Lembit
        Mindaugas Onni Paavo Rein Sakari Tarmo Uldis Veikko
        """,
        """
        Adomaitis Haavisto Hamalainen Heikkinen Joensuu Kallio Laaksonen Lehtonen Makinen Nieminen Nurmi
        Saarinen Toivonen Turunen Virtanen
        Baranauskas Grinbergs Harjula Ilves Jokinen Kalnins Karppinen Kirsipuu Koskela Kukkonen Laukkanen
        Liepins Mikkonen Norkus Ojamaa Paavilainen Petrauskas Pohjola Rautio Ruokonen Salminen Stankevicius
        Tammsaare Ozolins Urbonas Vaitkus Vilkaitis Zemgals
        """,
    ),
    "italian": _bank(
        """
        Giulia Rosalba Stefania Iolanda Carmela Micaela Antonella Assunta Benedetta Concetta Domenica
        Fiammetta Filomena Ginevra Immacolata Loredana Mafalda Ornella Pierina Raffaella Serafina Vittoria
        """,
        """
        Aurelio Gaetano Matteo Pasquale Agostino Baldassare Calogero Cesare Dario Ermenegildo Fausto Gioacchino
        Ippolito Lazzaro Marcello Nazareno Ottavio Rinaldo Salvatore Tancredi Umberto Virgilio
        """,
        """
        Ambrosi Bertolini Bonavita Cavalli Colombari Conti Evangelista Fabbri Graziani Lombardo Marchetti Pellegrino
        Quaranta Santangelo
        Abbatantuono Accardi Ballarini Bevilacqua Boncompagni Brambilla Cacciatore Calandrelli Cantarutti
        Capodilista Carbonara Cecchetti Cipolloni Damiani Fioravanti Gallarati Ghislanzoni Guastalla
        Lanfranchi Locatelli Magnabosco Malaspina Mangiapane Montecchi Nocentini Ottaviani Passalacqua
        Piccinini Quintavalle Rampazzo Sacchetti Scaramuzza Tagliabue Terracina Trevisan Vaccari Zanardelli
        """,
    ),
    "spanish": _bank(
        """
        Amaya Camila Edurne Esperanza Estela Eugenia Genoveva Isidora Itziar Jacinta Leocadia Manuela Marisol
        Montserrat Paloma Perpetua Pilar Rocio Violeta Ximena Ariadna Beatriu Pia Azucena Candelaria Dolores
        Encarnacion Macarena Remedios Soledad
        """,
        """
        Alejo Cristobal Faustino Ferran Ignasi Inigo Pedro Santiago Benat Anselmo Baltasar Celestino Dionisio
        Evaristo Gonzalo Hilario Jacinto Leandro Macario Nicanor Octavio Primitivo Saturnino Teodoro Urbano
        """,
        """
        Abascal Aguirre Alarcon Aramburu Arnaldo Arriaga Avellaneda Ayala Beltran Benavides Botello Campos
        Canizares Castellano Chavarria Cisneros Echeverria Elizalde Espinosa Etxeberria Figueroa Galarza
        Heredia Ibanez Irigoyen Jaramillo Larranaga Merino Navarrete Ocampo Orellana Ortega Pacheco Paredes
        Quesada Quiroga Restrepo Salamanca Sandoval Sepulveda Sotomayor Talavera Torrealba Urrutia Valdivia
        Vasquez Velarde Villanueva Zabala Zamorano
        """,
    ),
    "portuguese": _bank(
        """
        Madalena Rafaela Sabela Adelaide Anabela Benedita Conceicao Deolinda Efigenia Felisbela Graca Ilidia
        Iracema Joaquina Lucinda Margarida Natercia Otilia Piedade Quiteria Rosalina Teodora
        """,
        """
        Guilherme Joao Tiago Adalberto Amadeu Baltazar Belmiro Custodio Duarte Eusebio Fernao Gaspar Hermenegildo
        Inacio Jeronimo Lourenco Martim Nuno Osvaldo Raimundo Sebastiao Teotonio Valdemar
        """,
        """
        Azevedo Baptista Barreto Batista Cardoso Carvalho Cordeiro Couto Domingues Ferreira Fonseca Fragoso
        Galvao Guerreiro Loureiro Mendonca Monteiro Nascimento Oliveira Pinheiro Rebelo Ribeiro Rocha
        Salgueiro Silveira Souza Tavares
        Abrantes Albuquerque Alvarenga Bragança Calheiros Camoes Cavalcanti Coutinho Espadinha Falcao
        Figueiredo Gouveia Lacerda Magalhaes Mascarenhas Meireles Nogueira Pimentel Quintanilha Saldanha
        Sampaio Teixeira Vasconcelos
        """,
    ),
    "west slavic": _bank(
        """
        Aneta Cecylia Danuta Jadwiga Katarzyna Kalina Pavlina Radka Roksana Urszula Veronika Zdenka Zofia
        Zuzana Zuzanna Bohumila Bozena Drahomira Grazyna Halina Jarmila Ludmila Malgorzata
        """,
        """
        Jarek Jerzy Marek Ondrej Piotr Tadeusz Bohdan Bronislav Czeslaw Dobromir Hynek Jaromir Kazimierz
        Leszek Miroslav Oldrich Przemysl Radoslav Stanislaw Vojtech Wieslaw Zbigniew
        """,
        """
        Baranowski Bednarek Bielawski Blazek Cerny Chlebowski Dabrowski Filipek Gorecki Grzelak Hlavacek
        Jablonski Janowicz Jelinek Kaczmarek Kasprzak Kowalczyk Kubiak Lewandowski Maciejewski Malinowska
        Mazurek Michalak Mlynar Moravec Novotny Ostrowski Pasternik Piekarski Podolski Pospisil Prokop
        Przybylski Ruzicka Sadowski Sedlacek Smolenski Szymanski Wasilewski Wojcik Zaleski Zielinski
        Zwolinski
        """,
    ),
    "east slavic": _bank(
        """
        Daria Feodora Nadezhda Oksana Svetlana Tatiana Yelena Agafya Antonina Darya Evdokia Galina Glafira Kapitolina
        Larisa Lyubov Marfa Olesya Pelageya Praskovya Raisa Serafima Varvara Zinaida
        """,
        """
        Bogdan Gavriil Mykola Ruslan Afanasy Akim Demyan Erofey Fyodor Gennady Gleb Ignaty Kondrat Lavrenty
        Mstislav Nikanor Ostap Panteleimon Rostislav Savva Taras Vsevolod Yaroslav Zakhar
        """,
        """
        Bogdanov Brodsky Bulgak Chernenko Dubrovin Egorov Fedorov Gavrilov Golubev Ignatov Kuznetsov Lazarev
        Lebedev Lopatin Lysenko Nagornov Pavlenko Savchenko Semenova Shevchuk Sokolova Tikhonov Trifonov
        Vlasenko Zubkov
        Anisimov Bezrukov Chumachenko Dorofeev Emelyanov Fomichev Gorshkov Hrytsenko Kalashnik Kolesnikov
        Kryvenko Lukashenka Moskvitin Nechaev Ovcharenko Polivanov Rybalko Sidorchuk Tereshchenko Ulyanenko
        Voronkov Yushkevich Zabolotny
        """,
    ),
    "balkan": _bank(
        """
        Branka Drita Ivana Jelena Ljubica Milica Nikolina Rumyana Stanislava Biljana Desanka Dragica
        Gordana Jadranka Katica Liljana Mirjana Nevenka Ruzica Slavica Tsvetana Vesna
        """,
        """
        Goran Jovan Karlo Dragan Blagoje Bozidar Dimitar Dusan Gjergj Hristo Ivo Kresimir Lazar Ljubomir Milos
        Nebojsa Ognjen Plamen Radovan Skender Slobodan Tihomir Veselin Zdravko
        """,
        """
        Angelov Atanasov Babic Berisha Bosnjak Brankovic Crnkovic Cvetkovic Dimitrov Dobrev Grgic Hadzic
        Horvat Ivanovska Jovanovski Kolarov Kovacevic Krasniqi Manolov Markovic Mitrovic Nikolov Obradovic
        Parvanov Rozman Stankovic Stoyanov Terzic Todorova Vidovic Vukovic Xhaferi Yankov Zdravkov
        Bogicevic Damjanovic Filipovski Gjonaj Hadzhiev Jankulovski Kocijancic Lazarevic Milutinov Novosel
        Perkovic Radicevic Simovic Trajkovski Velickov Zupancic
        """,
    ),
    "hungarian": _bank(
        """
        Dorottya Orsolya Aranka Boglarka Emese Erzsebet Etelka Gizella Ildiko Iluska Jolan Katalin Klotild Lenke
        Margit Piroska Reka Sarolta Terezia Timea Zsuzsanna
        """,
        """
        Balazs Endre Zoltan Andor Arpad Bela Csaba Denes Elemer Ferenc Gergely Gyula Istvan Jeno Kalman Lorand Miklos
        Ottokar Sandor Szilard Tivadar Vilmos Zsigmond
        """,
        """
        Bodnar Cseh Farkas Fazekas Juhasz Katona Nemeth Somogyi Szabo Varga
        Bakonyi Barcsay Csorba Dobrovolszky Erdelyi Fodor Gulyas Halasz Harsanyi Hegedus Jakabffy Kardos Kelemen
        Kerekes Lukacs Madarasz Mezei Nyerges Orban Palotas Pinter Radnoti Simonyi Szekeres Takacs Tolnai
        Ujvari Vadasz Vamos Zsoldos
        """,
    ),
    "romanian": _bank(
        """
        Ilinca Anca Catrinel Corina Despina Eufrosina Floarea Georgeta Ioana Lacramioara Lucretia Marioara
        Mihaela Nicoleta Ortansa Paraschiva Rodica Sanziana Smaranda Steliana Zamfira
        """,
        """
        Catalin Cosmin Florin Mihai Mircea Aurelian Bogdanel Constantin Decebal Dragos Emilian Gavril Horatiu
        Iancu Laurentiu Marin Nicolae Octavian Petru Radu Serban Traian Vasile
        """,
        """
        Albescu Antonescu Badea Ciobanu Costache Diaconu Dragomir Florescu Georgescu Iordache Popescu Radulescu
        Anghelescu Balcescu Bratianu Cantacuzescu Cernea Dumitrescu Filimon Gheorghiu Ionescu Lupescu Manolescu
        Marinescu Moldovan Munteanu Negulescu Olteanu Pantelimon Petrescu Sturdza Stanciu Teodorescu Ungureanu
        Vacarescu Vladimirescu Zamfirescu
        """,
    ),
    "greek": _bank(
        """
        Dimitra Anthoula Aspasia Chrysanthi Despoina Eleftheria Evanthia Fotini Ioanna Kalliopi Kyriaki Lemonia
        Melpomeni Ourania Paraskevi Polyxeni Stamatia Triantafyllia Vasiliki Xanthippi Zoe
        """,
        """
        Vasilis Anastasios Aristidis Charalambos Evangelos Fotis Grigoris Iraklis Konstantinos Leonidas
        Menelaos Nikiforos Odysseas Pantelis Stavros Thanasis Themistoklis Vangelis Xenofon Yiannis
        """,
        """
        Laskaris Panagos
        Anagnostou Apostolidis Charalambous Dimopoulos Economou Fotiadis Galanis Georgakopoulos Hatzis
        Ioannidis Kalogeropoulos Karagiannis Kostopoulos Kyriakou Lambrakis Makropoulos Mavridis Nikolaidis
        Oikonomakis Papadakis Papageorgiou Pavlidis Polychronis Raptis Savvidis Spyropoulos Stamatopoulos
        Theodorakis Tsakalidis Vlachos Xenakidis Zervas
        """,
    ),
    "turkic": _bank(
        """
        Asel Dilnoza Elif Gulnara Meltem Nazli Nilufar Yasemin Zeynep Aigul Aysel Bahriye Cansu Feride Gulsen
        Hande Leyla Mukaddes Nurgul Oyku Sevinc Tulay Umida
        """,
        """
        Azamat Emre Mehmet Osman Arslan Bekzod Cemal Daniyar Erdogan Farrukh Galip Haluk Ilgaz Kerem Levent
        Murat Nurlan Orhan Rustam Selcuk Timur Ulugbek Yilmaz
        """,
        """
        Abenov Aksoy Alieva Askarov Bayram Demir Durmaz Kerimov Mamedov Ozturk Rustamov Sahin Suleymanov Tekin
        Uzunov Yildirim
        Akinci Altintas Baysal Bektas Cetinkaya Dogan Eroglu Gurbanov Hasanoglu Ibragimov Karaca Kaymakci
        Kocaman Mirzayev Nazarbek Orazov Pehlivan Qodirov Sadykov Soykan Turgut Tursunov Usmanov Yakupoglu
        Yuldashev Zengin
        """,
    ),
    "caucasian": _bank(
        """
        Anahit Ekaterine Ketevan Mariam Tamar Arpine Astghik Eteri Gayane Hasmik Khatuna Lusine Manana Nana Nino Nune
        Rusudan Satenik Shushan Tsovinar Varduhi Zabel
        """,
        """
        Davit Irakli Ararat Artavazd Avtandil Bagrat Gagik Givi Hrant Karapet Levon Merab Nodar Otar Ruben
        Shalva Suren Tigran Vakhtang Vazgen Zurab
        """,
        """
        Danielyan Gasparyan Hakobyan Karapetyan Kvaratskhelia Papazian Petrosyan Sarkisov
        Abashidze Arakelyan Avetisian Baghdasarian Chkheidze Davitashvili Galustian Gelashvili Grigoryan
        Harutyunyan Japaridze Kapanadze Kharatishvili Lomidze Manukyan Melikyan Nersisyan Ohanian
        Paravyan Sahakyan Shengelaia Simonyan Tavadze Terteryan Vardanyan Zakaryan
        """,
    ),
    "arabic": _bank(
        """
        Halima Malika Khadija Amina Bouchra Dalila Farida Ghada Hanan Iman Jamila Latifa Maysoon Nadia Noura
        Rabia Salma Samira Warda Yusra Zahra Zubaida
        """,
        """
        Samir Walid Yusuf Adnan Bassam Dawud Fuad Ghassan Hamid Idris Jalal Khalil Mahmud Nabil Omar Qasim
        Rashid Sulayman Tariq Usama Yahya Ziyad
        """,
        """
        Boukhari Ghazali Khoury Zuberi
        Abboud Alaoui Azzam Barakat Bensalem Bouzid Chalabi Darwish Fakhoury Farahat Ghanem Haddad Hamdan
        Jaziri Kanaan Karam Lahoud Maalouf Mansouri Nasrallah Othmani Qabbani Rahmouni Sabbagh Saidi Shadid
        Tabari Tlemcani Wahbi Yazbek Zeidan
        """,
    ),
    "persian": _bank(
        """
        Bahar Narges Parisa Shirin Soraya Azadeh Banafsheh Dorna Farzaneh Golnaz Homa Jaleh Katayoun Laleh Mahsa
        Nasrin Niloofar Roya Simin Taraneh Yalda Zohreh
        """,
        """
        Arash Farhad Babak Bijan Dariush Esfandiar Faramarz Ghobad Hormoz Iraj Jamshid Kaveh Kourosh Manouchehr
        Nader Parviz Ramin Siavash Touraj Yazdan
        """,
        """
        Bagheri Satrapa Pirzada
        Afshar Arjomand Azimi Bahrami Daneshvar Ebrahimi Farrokhi Ghasemi Golestan Hosseinzadeh Jahanbani
        Kamrani Khosravi Mahdavi Mirzaei Mostofi Nikpour Pourafzal Rahnama Rostami Sanjabi Shahbazi
        Tabrizian Vaziri Yazdani Zandieh
        """,
    ),
    "hebrew": _bank(
        """
        Adina Ayelet Liora Avigail Batya Devora Efrat Hadassah Michal Mira Nechama Nurit Ofra Penina Rivka
        Shoshana Shulamit Tirza Yael Yocheved Zehava
        """,
        """
        Yosef Amos Avshalom Baruch Binyamin Dov Elazar Gershon Haim Itamar Menachem Meir Naftali Ovadia Reuven
        Shlomo Shmuel Tuvia Yehoshua Yitzhak Zvi
        """,
        """
        Riskin Abulafia Alterman Ashkenazi Bar-Yosef Ben-Ari Ben-Shalom Carmeli Dayan Elkayam Feinstein Goldfarb
        Halperin Kaplinsky Karmi Levanon Lifshitz Mizrahi Nachmani Oren-Gal Peretz Rabinovich Rotblat Sasson
        Shapira Shulman Tirosh Tzabari Yerushalmi Zilberman Zuckerman
        """,
    ),
    "south asian": _bank(
        """
        Aparna Bhavna Divya Indira Kamala Kavita Lakshmi Meera Neha Shanti Tanvi Vidya Anjali Chitra Gayatri
        Hemalatha Jayanthi Kalpana Madhuri Nirmala Padmini Rukmini Sarojini Sulochana
        """,
        """
        Arjun Pranav Raghav Rohan Suresh Anand Bhaskar Chandran Devendra Girish Harish Jagdish Keshav Lalit
        Madhav Narendra Prakash Ramesh Sanjay Tilak Uday Venkat Vikram
        """,
        """
        Banerjee Bhandari Chakrabarti Chaudhary Dasgupta Desai Dondup Gunawardena Jagannathan Kulkarni Mehrotra
        Mukherjee Narayan Pradhan Rajapaksa Ramaswamy Venkatesan Wickramasinghe Yadav
        Agarwal Bhattarai Chidambaram Deshmukh Gaikwad Gopalakrishnan Hegde Iyengar Jayasuriya Karunaratne
        Lokhande Muthuswamy Nambiar Parthasarathy Ranganathan Rathore Sankaran Shrestha Sivakumar Subramaniam
        Tendulkar Upadhyay Vaidyanathan
        """,
        "Kiran Tsering",
    ),
    "japanese": _bank(
        """
        Atsuko Fumiko Keiko Natsumi Sakura Tomoko Miyu Ayano Chiyoko Emiko Hanae Hisako Kazuko Kiyomi Masako
        Michiyo Nobuko Reiko Sachiko Setsuko Yasuko Yoriko
        """,
        """
        Haruki Hiroto Kaito Daisuke Eiichi Fumio Genzo Hideaki Ichiro Junpei Kenjiro Masaru Noboru Osamu Ryohei
        Shigeru Shunsuke Tadashi Takumi Tetsuya Wataru Yasuhiro
        """,
        """
        Fujimori Fukuda Hagiwara Hashimoto Imamura Ishikawa Iwasaki Kurosaki Nakagawa Otsuka Shimizu Tanaka
        Tsukada Ueda Yamashita Yoshimura
        Aizawa Amamiya Asakura Chikamatsu Enomoto Furukawa Hamasaki Higashino Hoshikawa Isogai Kageyama
        Kamiyama Kasahara Kuramoto Matsudaira Mizushima Morikawa Nagatomo Nishimura Okazawa Onodera Sakakibara
        Sekiguchi Shirakawa Sugawara Takamine Tokunaga Umezawa Wakabayashi Yanagida
        """,
        "Yuki",
    ),
    "chinese": _bank(
        """
        Aihua Baozhen Chunyan Dongmei Fenglan Guiying Huifang Jinghua Lanfen Lihua Meiling Ningxin Peizhen
        Qiaoling Ruolan Shuzhen Suyun Xiulan Yanfei Yulan Zhenzhu
        """,
        """
        Bingwen Changming Deshan Fuguo Guangyao Haoran Jianguo Junjie Kaiming Liangwei Minghao Pengfei Qingshan
        Renjie Shaohua Tianyu Weimin Wenbin Xiaofeng Yongliang Zhigang
        """,
        """
        Bai Bao Cai Chang Cheng Cui Dai Deng Ding Dong Duan Fang Gao Geng Guan Hou Hsieh Jia Jiang Jin Kang Kong
        Lei Liang Liao Long Lu Meng Mo Niu Ouyang Pan Peng Qian Qiao Qiu Rao Shao Shen Shi Sima Song Sun Tan Tao
        Wei Wen Xiang Xiao Xie Xiong Yan Yao Yuan Zeng Zhong Zhu Zhuang Zou
        """,
    ),
    "korean": _bank(
        """
        Bo-ra Da-hye Eun-ji Ha-neul Hye-jin Hyun-ah In-sook Jae-eun Kyung-hee Mi-ran Myung-ja Na-young Seo-yeon
        Soo-bin Soon-ok Sun-hee Yeon-hwa Young-mi Yu-jin
        """,
        """
        Beom-seok Chang-ho Dae-jung Dong-hyun Gi-tae Ho-jun Hyun-woo Jae-sung Jin-ho Jong-su Kang-min Kwang-soo
        Min-jae Sang-chul Seung-ho Sung-min Tae-yang Woo-jin Young-ho
        """,
        """
        Ahn Baek Bang Byun Cha Cho Choi Chung Eom Gil Gong Gwak Han Heo Hong Hwang Jang Jeon Jung Ki Koo Kwon Ma
        Min Moon Myung Noh Oh Park Pyo Ryu Seo Shim Shin Son Sung Tak Uhm Wang Woo Yang Yoo Yoon
        """,
    ),
    "vietnamese": _bank(
        """
        Anh-Thu Bich-Ngoc Dieu-Huong Hanh Hoai-Thu Hong-Nhung Kim-Chi Lan-Anh Mai-Phuong My-Duyen Ngoc-Lan
        Phuong-Thao Thanh-Tam Thu-Ha Thuy-Linh Tuyet Xuan-Mai Yen-Nhi
        """,
        """
        Tuan Bao-Long Cong-Danh Dinh-Phuc Duc-Anh Gia-Huy Hai-Dang Huu-Tho Khanh-Duy Manh-Hung Nhat-Minh
        Quang-Vinh Quoc-Bao Tan-Phat The-Vinh Trong-Nghia Van-Kiet Viet-Hoang
        """,
        """
        Bui Cao Chau Dang Dao Dinh Doan Duong Giang Ho Huynh Khuat La Lac Luong Luu Ly Mac Mai Ngo Nghiem
        Nguyen Phan Phung Quach Ta Tang Thai Thach Ton Tran Trinh Truong Uong Vien Vo Vuong
        """,
        "Hoang Linh Minh",
    ),
    "west african": _bank(
        """
        Adaeze Akosua Chiamaka Efua Fatou Folake Hadiza Ifeoma Yaa Zainab Abena Aminata Awa Bintou Enitan
        Khadidiatou Mariama Nana-Ama Ngozi Omolara Oumou Sekinat Temitope Yewande
        """,
        """
        Amadou Ayodele Boubacar Chidi Emeka Kofi Kwabena Lamine Adebayo Babatunde Cheikh Chukwudi Fiifi Ibrahima
        Kwaku Modibo Nnamdi Obinna Ousmane Seydou Sunkanmi Tanimu Yaw
        """,
        """
        Abubakar Adeyemi Akinola Appiah Asante Balogun Boateng Chikere Diallo Ezenwa Gyasi Konate Mensah Ndiaye
        Nwosu Oduya Ogunleye Okafor Onwudiwe Osei Owusu Sissoko Tamboura Traore
        Adomako Afolabi Agyeman Bamgbose Cisse Coulibaly Dogbe Eghan Faye Fofana Igwe Kaboré Kante Kouyate
        Madueke Nkrumah Nwachukwu Obaseki Okonjo Olatunji Ouedraogo Sanogo Sarpong Tetteh Toure Umeh
        """,
        "Olamide Taiwo",
    ),
    "east or southern african": _bank(
        """
        Imani Lindiwe Mbali Naledi Njeri Nokuthula Selam Sinazo Thandiwe Wanjiru Achieng Almaz Busisiwe
        Chipo Genet Makena Mukami Nomvula Rutendo Tsion Wambui Zodwa
        """,
        """
        Bekele Lwazi Temesgen Vuyo Abebe Baraka Chege Dawit Farai Girma Jabulani Kamau Kagiso Mandla Mulugeta
        Ochieng Sipho Tendai Tesfaye Thabo Tumelo Zenzele
        """,
        """
        Dlamini Gebremariam Ilunga Kebede Kiplagat Masuku Mokoena Mutombo Njoroge Odhiambo Tadesse Wanjala
        Bogale Chirwa Demissie Getahun Hailemariam Kabongo Kariuki Khumalo Kipkemboi Letsholo Mabaso Macharia
        Makoni Moyo Mugisha Muthoni Ndlovu Ngcobo Nkosi Ntuli Nyambura Okello Phiri Rukundo Sithole Tshabalala
        Wolde Zwane
        """,
        "Sefa",
    ),
}
"""The names of each origin."""

PARTICLES = frozenset(
    (
        "van", "van't", "den", "der", "de", "da", "das", "do", "dos", "del", "della", "dei", "di", "du", "la", "le",
        "von", "vom", "zu", "zum", "af", "av", "y", "e", "i", "bin", "ibn", "al", "el", "ter", "ten", "tot", "'t", "of",
        "the",
    )
)  # fmt: skip
"""Words inside a name that are neither a given name nor a surname; a matched name keeps them where they are."""
